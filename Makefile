# For a fresh clone: `make demo` shows the whole pipeline, `make test` runs every test. Both install the system libraries
# that are missing, and report which.

# Debug builds compile C at -O0, which makes the kernels 50 times slower.
DEBUG_FLAGS := -Xcc -O2
LINTED := Package.swift Sources Examples Tests Benchmarks/Sources Fuzzing/Sources

# The server has a build folder of its own, because Hummingbird belongs to it alone.
SERVER := SEXTANT_SERVER=1 swift build -c release --scratch-path .build-serve
SERVED := demo-output/serve

.PHONY: help demo test build serve server test-clients mpi test-mpi test-slurm benchmarks docs lint format dependencies clean \
  library test-python native wheel dist

help:
	@echo "make demo        build, then run the whole pipeline on the model in fixtures/"
	@echo "make test        build, then run every test"
	@echo "make build       build the executables into .build/release/"
	@echo "make serve       build the server, and serve the demo model with a vector, a lens and a probe"
	@echo "make test-clients  test the server with lm_eval, the openai package, a browser and bad clients"
	@echo "make mpi         compile the plugin for MPI with this machine's mpicc into .build/release/"
	@echo "make test-mpi    run the shared commands under Open MPI, and compare the bytes"
	@echo "make test-slurm  start a Slurm cluster on this machine, and run an array and srun (needs root)"
	@echo "make benchmarks  build Benchmarks/.build/release/sextant-benchmarks"
	@echo "make library     build the library for C and Python, .build/release/libsextant.so"
	@echo "make test-python test the Python package"
	@echo "make wheel       build the Python package, with everything that it needs, into .build-package/"
	@echo "make dist        build a tar file and a Debian package into .build-package/"
	@echo "make docs        write the documentation of the library into .build/docs/"
	@echo "make lint        check formatting, and the digests of the fixtures"
	@echo "make format      format the sources"

demo: build
	.build/release/sextant demo
	.build/release/sextant demo --transfer

# sextant reads HDF5 through sextant-hdf5, which must be in the same folder.
build: dependencies
	swift build -c release --product sextant
	swift build -c release --product sextant-hdf5

# sextant starts sextant-serve, which must be in the same folder.
server: dependencies
	$(SERVER) --product sextant-hdf5
	$(SERVER) --product sextant
	$(SERVER) --product sextant-serve

serve: server
	Clients/demo-artifacts .build-serve/release/sextant $(SERVED)
	.build-serve/release/sextant serve -m $(SERVED)/demo.sxt --artifacts $(SERVED)/artifacts --preset joy:2

test-clients: server
	Clients/run .build-serve/release/sextant $(CHECKS)

# The plugin for MPI lies beside the program. It is compiled for the MPI of this machine, and the program is not.
MPICC ?= mpicc
MPI_FOLDER ?= .build/release
mpi:
	@command -v $(MPICC) >/dev/null || { \
	  echo "$(MPICC) is needed. Debian and Ubuntu: apt-get install libopenmpi-dev; on a cluster: module load openmpi" >&2; exit 1; }
	mkdir -p $(MPI_FOLDER)
	$(MPICC) -O2 -Wall -Wextra -shared -fPIC -o $(MPI_FOLDER)/sextant-mpi.so Sources/CSextantMPI/sextant_mpi.c

test-mpi: dependencies
	.ci/mpi

test-slurm: build
	.ci/slurm .build/release/sextant

benchmarks: dependencies
	SEXTANT_BENCHMARKS=1 swift build -c release --scratch-path Benchmarks/.build --product sextant-benchmarks

test: dependencies
	.ci/neon
	swift test $(DEBUG_FLAGS) --disable-xctest

# The functions of sextant.h, and nothing else, are visible in it.
library: dependencies
	swift build -c release --product sextant-c \
	  -Xlinker --version-script=Sources/CSextant/libsextant.map -Xlinker -soname=libsextant.so
	cp .build/release/libsextant-c.so .build/release/libsextant.so

test-python: dependencies
	python/tests/run

# Everything that packages contain, without the libraries of this system.
native: dependencies
	Packaging/build

wheel: native
	python3 Packaging/wheel

dist: native
	Packaging/dist

docs: dependencies
	.ci/docs

lint:
	swift format lint --strict --recursive --parallel $(LINTED)
	python3 fixtures/generate/digests.py --check

format:
	swift format --in-place --recursive --parallel $(LINTED)

clean:
	swift package clean

# Installs only the packages that are missing.
dependencies:
	@set -eu; \
	command -v swift >/dev/null || { \
	  echo "Swift 6.3 is needed: see https://www.swift.org/install" >&2; exit 1; }; \
	missing=; \
	command -v pkg-config >/dev/null || missing=" pkg-config"; \
	has() { command -v pkg-config >/dev/null && pkg-config --exists "$$1"; }; \
	has hdf5-serial || missing="$$missing libhdf5-dev"; \
	has zlib || missing="$$missing zlib1g-dev"; \
	has libcrypto || missing="$$missing libssl-dev"; \
	has openblas || missing="$$missing libopenblas-dev"; \
	[ -n "$$missing" ] || exit 0; \
	echo "missing:$$missing"; \
	if ! command -v apt-get >/dev/null; then \
	  echo "Install the packages that your system has in place of these, then try again." >&2; exit 1; \
	elif [ "$$(id -u)" = 0 ]; then sudo=; \
	elif command -v sudo >/dev/null; then sudo=sudo; \
	else echo "Ask an administrator to run: apt-get install$$missing" >&2; exit 1; fi; \
	$$sudo apt-get update -qq || true; \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $$missing || { \
	  echo "Could not install:$$missing. Install them by hand, then try again." >&2; exit 1; }
