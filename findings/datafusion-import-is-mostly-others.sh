#!/bin/sh
# DataFusion 55.0.0 with PyArrow 26.0.1, seen on 2026-11-29: most of the time of `import datafusion` goes into modules that queries never use.
#
# The good guess: importing DataFusion loads its own library and Arrow's.
# Seen: where they are installed, NumPy, pandas and cloudpickle come too, since Arrow and DataFusion look for them; the package asks importlib.metadata for
# its own version, which brings zipfile and email; `pyarrow.parquet` brings a cloud's file system and ssl. Where the first three are refused and the
# version is not looked up, the import takes a fifth of the time, and queries, Parquet files and results work as before.
# Ends with 1 if any of this is no longer so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check datafusion==55.0.0 pyarrow==26.0.1 pandas numpy cloudpickle
cat >"$folder/lean.py" <<'PYTHON'
import sys
import types


class Without:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in {"numpy", "pandas", "cloudpickle"}:
            raise ModuleNotFoundError(name=name)


sys.meta_path.insert(0, Without)
sys.modules["importlib.metadata"] = stand_in = types.ModuleType("importlib.metadata")
stand_in.version = lambda name: ""
PYTHON
cat >"$folder/seen.py" <<'PYTHON'
import resource
import sys

sys.path.insert(0, sys.argv[1])
if sys.argv[2] == "lean":
    import lean
before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
import datafusion

spent = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
answer = datafusion.SessionContext().sql("SELECT 1 + 1 AS two").to_pydict()
if sys.argv[2] == "plain":
    import pyarrow.parquet
loaded = [name for name in ("numpy", "pandas", "cloudpickle", "email", "zipfile", "pyarrow._s3fs", "ssl") if name in sys.modules]
print(spent, answer == {"two": [2]}, *loaded)
PYTHON
for which in plain lean; do
    "$folder/venv/bin/python" "$folder/seen.py" "$folder" "$which" >/dev/null
    for _ in 1 2 3 4 5; do "$folder/venv/bin/python" "$folder/seen.py" "$folder" "$which"; done | sort -n | head -1 | tee "$folder/$which"
done
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import pathlib
import sys

plain, lean = ((pathlib.Path(sys.argv[1]) / name).read_text().split() for name in ("plain", "lean"))
expected = ["True", "numpy", "pandas", "cloudpickle", "email", "zipfile", "pyarrow._s3fs", "ssl"]
print(f"ratio {float(lean[0]) / float(plain[0]):.2f}")
sys.exit(plain[1:] != expected or lean[1:] != ["True"] or float(lean[0]) * 2 > float(plain[0]))
PYTHON
