"""Coverage-guided fuzzing of the SMPP core, by hand. atheris is no dependency of ours:

    .venv/bin/pip install atheris
    .venv/bin/python -m tests.fuzz.fuzz_smpp -max_total_time=600 -rss_limit_mb=512 build/fuzz

The folder keeps what reached new code, and is made and filled with valid PDUs if it is empty; every option of
libFuzzer works. Any input that breaks the promise ends the run and is written to ./crash-…
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    import atheris

    with atheris.instrument_imports(include=["smsproxy"]):
        from tests.fuzz.target import check
    from tests.fuzz.inputs import corpus

    folders = [Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")]
    for folder in folders[:1]:
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.iterdir()):
            for number, octets in enumerate(corpus()):
                (folder / f"pdu-{number}").write_bytes(octets)

    def one_input(data: bytes) -> None:
        check(data)

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
