#!/bin/sh
# A hot function in format json with json_framing "line": for each call a line with an object comes in, and one goes out.
# It keeps its memory between calls: how many there were. Standard error is the call's log.
served=0
while read -r call; do
    served=$((served + 1))
    id=${call#*'"call_id":"'}
    echo "call ${id%%'"'*} is number $served here" >&2
    printf '{"body":"Hello from call %d of this container!\\n","content_type":"text/plain"}\n' $served
done
