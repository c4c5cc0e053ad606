# `make results` and `make test` need Python 3.11 or newer and nothing else; both create .venv.
PYTHON ?= python3
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: results unlock test test-cluster lint bench bench-gpu docs dist examples clean

results: .venv/ready
	@$(BIN)/snakemake --cores $(CORES) --quiet rules
	@$(BIN)/cortseq show results/default
	@echo "Report: $(CURDIR)/results/default/report.html"

unlock: .venv/ready
	$(BIN)/snakemake --cores 1 --unlock

test: .venv/ready-test lint
	$(BIN)/python -m pytest -n $(CORES) --dist loadfile

# Needs root, and slurmctld, slurmd, slurm-client and munge of the system.
test-cluster: .venv/ready-test
	$(BIN)/python -m pytest -n 0 -m cluster tests/cluster

lint: .venv/ready-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/mypy

bench: .venv/ready-bench
	$(BIN)/python -m benchmarks

docs: .venv/ready-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Documentation: $(CURDIR)/site/index.html"

examples: .venv/ready-test
	$(BIN)/python examples/execute.py

dist: .venv/ready-dist
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

bench-gpu: .venv/ready
	$(BIN)/python -m benchmarks.gpu

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) -e '.[annotations,hdf5,nwb,topology]'
	touch $@

.venv/ready-test: .venv/ready
	$(PIP) -e '.[annotations,generic,hdf5,neo,nwb,slurm,test]'
	touch $@

.venv/ready-docs: .venv/ready
	$(PIP) -e '.[annotations,docs,hdf5,nwb,topology]'
	touch $@

.venv/ready-dist: .venv/ready
	$(PIP) -e '.[dist]'
	touch $@

.venv/ready-bench: .venv/ready
	$(PIP) -e '.[annotations,hdf5,nwb,bench]'
	touch $@

clean:
	rm -rf .venv dist results/*/
