# shellcheck shell=bash
# Sourced by scripts that run checks one after another. Each check has a budget in minutes: the time it may take on two
# cores with empty caches. A check over its budget is marked in the table and does not fail.

passed=0 failed=0 broken=() table=()

# step NAME MINUTES COMMAND...: one command, one count.
step() {
  local name=$1 minutes=$2 began=$SECONDS result=passed
  shift 2
  echo "=== $name"
  if "$@"; then
    ((++passed))
  else
    ((++failed))
    broken+=("$name")
    result=FAILED
  fi
  finished "$name" "$minutes" "$began" "$result"
}

# steps NAME MINUTES COMMAND...: a command whose last line is `N passed, N failed`; both numbers are added to ours.
steps() {
  local name=$1 minutes=$2 began=$SECONDS result=passed log status=0 last
  shift 2
  log=$(mktemp)
  echo "=== $name"
  "$@" 2>&1 | tee "$log" || status=$?
  last=$(tail -n 1 "$log")
  rm -f "$log"
  if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
    ((passed += BASH_REMATCH[1], failed += BASH_REMATCH[2])) || true
    # It failed and counted no failure.
    if ((status && !BASH_REMATCH[2])); then ((++failed)); fi
    if ((BASH_REMATCH[2])); then status=1; fi
  else
    echo "=== $name: its last line is not \`N passed, N failed\`"
    ((++failed))
    status=1
  fi
  if ((status)); then
    broken+=("$name")
    result=FAILED
  fi
  finished "$name" "$minutes" "$began" "$result"
}

# harness COMMAND...: `cargo test` or `cargo nextest run`, whose own counts are added.
harness() {
  local log status=0 good bad
  log=$(mktemp)
  "$@" 2>&1 | tee "$log" || status=$?
  read -r good bad < <(sed -E 's/\x1b\[[0-9;]*m//g' "$log" | awk '
    /^test result: / || /^ *Summary \[.*tests? run:/ {
      for (i = 2; i <= NF; i++) {
        if ($i ~ /^passed/) passed += $(i - 1)
        if ($i ~ /^(failed|timed)/) failed += $(i - 1)
      }
    }
    END { print passed + 0, failed + 0 }')
  rm -f "$log"
  # It did not even build.
  if ((status && !bad)); then bad=1; fi
  ((passed += good, failed += bad)) || true
}

finished() {
  local name=$1 minutes=$2 seconds=$((SECONDS - $3)) result=$4 over=''
  ((seconds <= minutes * 60)) || over=' over budget'
  echo "=== $name: $result, $seconds s"
  table+=("$(printf '%-32s %-7s %3d:%02d of %2d min%s' "$name" "$result" $((seconds / 60)) $((seconds % 60)) "$minutes" "$over")")
}

# Prints the table and the sum, and fails where a check failed. The last line is `N passed, N failed`.
print_summary() {
  local name
  if ((${#table[@]})); then
    echo
    printf '%s\n' "${table[@]}"
    printf '%-32s %11d:%02d\n' 'all of it' $((SECONDS / 60)) $((SECONDS % 60))
  fi
  for name in "${broken[@]}"; do echo "failed: $name"; done
  echo "$passed passed, $failed failed"
  ((failed == 0))
}
