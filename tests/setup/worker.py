"""A child that does what a script says, in the forms of `oddframe.setup.child`."""

import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path

spec = Path(sys.argv[1])
folder, store = spec.parent, spec.parents[2]
task = json.loads(spec.read_text())
does = json.loads((store / "script.json").read_text()).get(task["kind"], {})


def note(what):
    with (store / "done.txt").open("a") as file:
        file.write(f"{task['kind']} {task['camera']} {what}\n")


def put(name, values):
    (folder / f"{name}.new").write_text(json.dumps(values))
    (folder / f"{name}.new").rename(folder / name)


def watch():
    os.read(0, 1)
    time.sleep(does.get("ends_s", 0.0))
    note("stopped")
    os._exit(130)


threading.Thread(target=watch, daemon=True).start()
note("begins")
(store / "seen.json").write_text(json.dumps([task, sys.argv, os.getpid()]))
if task["run"]:
    Path(task["run"]).mkdir(parents=True, exist_ok=True)
seconds = does.get("seconds", 0.0)
began = time.monotonic()
while (spent := time.monotonic() - began) < seconds:
    put("progress.json", {"done": spent / seconds, "text": "at it", "left_s": seconds - spent})
    time.sleep(0.02)
if "text" in does:
    (folder / "error.txt").write_text(does["text"])
if does.get("exit"):
    os._exit(does["exit"])
if "run" in does:
    shutil.copytree(does["run"], task["run"], dirs_exist_ok=True)
note("is done")
put("result.json", {"text": f"{task['kind']} done", "problem": does.get("problem")})
os._exit(0)
