# SPDX-License-Identifier: BSD-3-Clause
#
# bash completion of pgmap(1): commands, options, and paths: of files here and, asked for with `pgmap ls`, in the pool.
# The tables of commands and options stand at the end of the installed file: `pgmap --completion` writes them.

# Candidates, quoted as the shell needs them, that begin with $1; the rest of the arguments.
_pgmap_add()
{
	local begin=$1 word
	shift
	for word; do
		[[ $word == "$begin"* ]] || continue
		printf -v word %q "$word"
		COMPREPLY+=("$word")
	done
}

# Paths in the pool that begin with $1, by the program and socket of the command line: the other arguments.
_pgmap_pool()
{
	local begin=$1 dir name names=()
	shift
	dir=${begin%"${begin##*/}"}
	mapfile -t names < <(timeout 2 "$@" ls -- "${dir:-/}" 2>/dev/null)
	for name in "${names[@]}"; do
		# A path that is no directory is listed by itself.
		[[ $dir && $name == "$dir" ]] || _pgmap_add "$begin" "$dir$name"
	done
}

# Files here that begin with $1, directories with a slash.
_pgmap_here()
{
	local begin=$1 name names=()
	mapfile -t names < <(compgen -f -- "$begin")
	for name in "${names[@]}"; do
		[[ -d $name ]] && name+=/
		_pgmap_add "$begin" "$name"
	done
}

# The arguments of command $1, of which $2 are there, that begin with $3; then program and socket.
_pgmap_argument()
{
	local kind=${_pgmap_args[$1]-none} before=$2 begin=$3
	shift 3
	case $kind in
	command) ((before)) || _pgmap_add "$begin" "${!_pgmap_args[@]}" ;;
	pool) _pgmap_pool "$begin" "$@" ;;
	here-pool)
		_pgmap_here "$begin"
		((before == 0)) || _pgmap_pool "$begin" "$@"
		;;
	pool-here)
		_pgmap_pool "$begin" "$@"
		((before == 0)) || _pgmap_here "$begin"
		;;
	esac
}

_pgmap()
{
	local word command= options_end= valued='-s --socket' program=("${1:-pgmap}")
	local begin=${COMP_WORDS[COMP_CWORD]} before=0 i
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [[ -z $options_end && " $valued " == *" $word "* ]]; then
			((++i < COMP_CWORD)) || {
				# The value of an option: only a socket's has a name that can be looked for.
				[[ $word != -s && $word != --socket ]] || _pgmap_here "$begin"
				return
			}
			[[ $word != -s && $word != --socket ]] || program+=(-s "${COMP_WORDS[i]}")
		elif [[ $word == -- && -z $options_end && $command ]]; then
			options_end=yes
		elif [[ $word == -?* && -z $options_end ]]; then
			continue
		elif [[ -z $command ]]; then
			command=$word
			[[ -z $word ]] || valued+=" ${_pgmap_valued[$word]-}"
		else
			((++before))
		fi
	done
	# What has been typed may be quoted; a candidate is not, until it is added.
	begin=${begin#[\"\']}
	begin=${begin//\\/}
	if [[ $begin == -* && -z $options_end ]]; then
		if [[ $command ]]; then
			_pgmap_add "$begin" ${_pgmap_options[$command]-} -s --socket -h --help
		else
			_pgmap_add "$begin" $_pgmap_global
		fi
	elif [[ -z $command ]]; then
		_pgmap_add "$begin" "${!_pgmap_args[@]}"
	else
		_pgmap_argument "$command" "$before" "$begin" "${program[@]}"
	fi
	# Below a directory there may be more to type.
	[[ ${#COMPREPLY[@]} != 1 || ${COMPREPLY[0]} != */ ]] || compopt -o nospace 2>/dev/null
	return 0
}

complete -F _pgmap pgmap
