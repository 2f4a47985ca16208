"""Reads sample events as if they were sent now: the functions ignore an old interruption notice, and a
drain that began long ago is over."""

import datetime
import re

# Also within the text of a message, where quotes are escaped.
TIME = re.compile(r'(\\*"[Tt]ime\\*"\s*:\s*\\*")\d{4}-\d\d-\d\dT[\d:.]+Z')


def read_as_of_now(path):
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return TIME.sub(lambda match: match.group(1) + now, path.read_text())
