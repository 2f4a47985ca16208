#!/bin/sh
# Takes a picture of a page with Chromium.
#
#     scripts/picture.sh PAGE PNG WIDTH,HEIGHT     CHROMIUM names another program than chromium
set -eu
page=$(realpath "$1")
"${CHROMIUM:-chromium}" --headless --no-sandbox --disable-gpu --hide-scrollbars \
    --window-size="$3" --screenshot="$2" "file://$page" 2> /dev/null
echo "$2: $(wc -c < "$2") bytes"
