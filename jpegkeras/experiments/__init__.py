"""The studies behind the tables of dos Santos et al., ICIP 2020: `python -m jpegkeras.experiments`.

Each study is a module of this package with `run(output_dir: pathlib.Path | None) -> None`, and is
named in `__main__`.
"""
