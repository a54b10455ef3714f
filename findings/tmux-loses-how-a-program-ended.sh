#!/bin/sh
# tmux 3.3a (Debian 12), seen on 2026-11-29: of a program in a pane that has ended, tmux now and then knows neither exit code nor signal, and what it
# said last is thrown away in control mode.
#
# The good guess: with remain-on-exit, #{pane_dead_status} is there as soon as #{pane_dead} is 1; and a client in control mode is told every byte of
# a pane's output.
# Seen: in one of ten panes or so the status stays empty, and the process a zombie, until another child of the server ends; /proc/PID/stat has the
# code meanwhile. And in most panes whose program prints and ends at once, no %output has what it printed, which capture-pane has.
# Ends with 1 if in many tries none of this is so.
set -eu
command -v tmux >/dev/null || { echo 'tmux is missing (Debian: apt-get install tmux)' >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
printf 'read x; exit 3\n' >"$folder/ends.sh"
printf 'read x; echo last words; kill -KILL $$\n' >"$folder/says.sh"
missed=0 dropped=0 tries=60
for number in $(seq $tries); do
    server="tmux -S $folder/$number -f /dev/null"
    $server new-session -d -s ends bash "$folder/ends.sh" \; set-option -w remain-on-exit on
    $server new-session -d -s says bash "$folder/says.sh" \; set-option -w remain-on-exit on
    mkfifo "$folder/in"
    $server -C attach-session -t says <"$folder/in" >"$folder/told" 2>/dev/null &
    exec 3>"$folder/in"
    sleep 0.2
    $server send-keys -t ends: Enter
    sleep 0.2
    pid=$($server list-panes -t ends: -F '#{pane_pid}')
    if [ "$($server list-panes -t ends: -F '#{pane_dead} #{pane_dead_status}')" = '1 ' ] && [ "$(ps -o stat= -p "$pid" | cut -c1)" = Z ]; then
        missed=$((missed + 1))
    fi
    $server send-keys -t says: Enter
    sleep 0.2
    if $server capture-pane -p -t says: | grep -q 'last words' && ! grep -q '^%output .*last words' "$folder/told"; then
        dropped=$((dropped + 1))
    fi
    exec 3>&-
    $server kill-server
    wait
    rm "$folder/in"
done
echo "of $tries panes $missed had ended without a status, and of $tries others $dropped had their last words dropped"
[ $((missed + dropped)) -gt 0 ]
