#!/usr/bin/env bash
# Stands in for the program whose name it has: notes the call, its kubeconfig's mode, path and text, and its key; fails
# where the pattern FAIL says so; answers as the program would.
call="${0##*/} $*"
call=${call/ --silent/}
echo "$call" >>"$CALLS"
[[ -z ${SOPS_AGE_KEY:-} ]] || echo "$SOPS_AGE_KEY: $call" >>"$CALLS.keys"
if [[ -n ${KUBECONFIG:-} && -z ${TESTED:-} ]]; then
  echo "$(stat --format %a "$KUBECONFIG") ${KUBECONFIG#"$PWD/"} $(<"$KUBECONFIG")" >>"$CALLS.kubeconfig"
fi
# shellcheck disable=SC2053 # a pattern
[[ $call != ${FAIL:-} ]] || exit 1
# With TESTED, make is the real one for all but the tests.
if [[ -n ${TESTED:-} && $call == "make "* && ! $call =~ ^make\ (audit|check|policy|sbom|unit|test) ]]; then
  PATH=${PATH#*:} exec make "$@"
fi
case $call in
  "make promote "*)
    echo "Installing requirements/test.txt into .venv ..."
    [[ $call =~ IMAGE=(.*):.*\ TAG=(.*) ]] && echo "${BASH_REMATCH[1]}:${BASH_REMATCH[2]}@$PROVEN"
    ;;
  "make generate "*) echo "cost 0 41" ;;
  "make diff "*) echo "nothing changes" ;;
  "docker image inspect "*) echo "${*: -1}" | sed "s/:[^:]*$/@$BUILT/" ;;
esac
