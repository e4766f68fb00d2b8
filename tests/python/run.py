#!/usr/bin/env python3
"""Runs engine_test.py, and comfyui_test.py, on the checkout's package, or on a wheel that is built and installed in a fresh environment.

usage: run.py SOURCE_FOLDER BUILD_FOLDER checkout|wheel
"""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE, BUILD, WHAT = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
MODEL = BUILD / "share/zoetrope/toybox.zoe"


def skip(why):
    print(f"SKIPPED {WHAT}: {why}")
    sys.exit(77)


def python_with(modules):
    """The first interpreter here that is new enough and has them."""
    for python in (sys.executable, "/usr/bin/python3"):
        wanted = f"import sys, {', '.join(modules)}; sys.exit(sys.version_info < (3, 10))"
        if subprocess.run([python, "-c", wanted], capture_output=True).returncode == 0:
            return python
    return skip(f"no Python from 3.10 on has {', '.join(modules)}; ./dev setup --tests installs python3-numpy, "
                "python3-venv and python3-wheel")


def run(*command, **options):
    done = subprocess.run([str(c) for c in command], **options)
    if done.returncode != 0:
        sys.exit(f"{command[0]} ended with {done.returncode}")


def test(python, environment, folder, *names, suites=("engine_test",)):
    environment = {"PATH": os.environ["PATH"], "ZOETROPE_PATIENCE": os.environ.get("ZOETROPE_PATIENCE", "1"),
                   "ZOETROPE_TEST_SOURCE": str(SOURCE), "ZOETROPE_TEST_BUILD": str(BUILD), **environment}
    for suite in suites:
        run(python, "-B", SOURCE / f"tests/python/{suite}.py", *names, env=environment, cwd=folder)


def main():
    if not MODEL.exists():
        skip("this checkout has no Toybox weights")
    with tempfile.TemporaryDirectory(prefix="zoetrope python ") as folder:  # a space in every path
        if WHAT == "checkout":
            test(python_with(["numpy"]), {"PYTHONPATH": str(SOURCE / "python"),
                                          "ZOETROPE_LIBRARY": str(BUILD / "lib/libzoetrope.so.1")}, folder,
                 suites=("engine_test", "comfyui_test"))
            return
        python = python_with(["numpy", "venv", "ensurepip", "wheel.cli.pack"])
        if subprocess.run(["which", "patchelf"], capture_output=True).returncode != 0:
            skip("patchelf is not installed")
        run(SOURCE / "scripts/wheel.sh", BUILD, Path(folder) / "dist")
        wheels = list((Path(folder) / "dist").glob("*.whl"))
        if len(wheels) != 1:
            sys.exit(f"expected one wheel, found {wheels}")
        # What auditwheel says of it, where it is installed: no older system is promised than it finds.
        if subprocess.run([python, "-c", "import auditwheel"], capture_output=True).returncode == 0:
            shown = subprocess.run([python, "-m", "auditwheel", "show", wheels[0]], capture_output=True, text=True, check=True).stdout
            if wheels[0].stem.rsplit("-", 1)[1] not in shown:
                sys.exit(f"auditwheel does not find the platform of {wheels[0].name}: {shown}")
        run(python, "-m", "venv", "--system-site-packages", Path(folder) / "venv")  # NumPy is the system's
        fresh = Path(folder) / "venv/bin/python"
        run(fresh, "-m", "pip", "install", "--quiet", "--no-index", wheels[0])
        test(fresh, {"ZOETROPE_TEST_INSTALLED": "1"}, folder, "Basics", "Readme")


if __name__ == "__main__":
    main()
