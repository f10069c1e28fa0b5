"""`python -m gradspike.compat` is `python` with hxtorch's names; scripts in those names run unmodified."""

import subprocess
import sys
from pathlib import Path

import pytest

from gradspike.compat._run import main

SCRIPTS = Path(__file__).parent / "scripts"


def run(*arguments, cwd=None, interpreter=(), **options):
    command = [sys.executable, *interpreter, "-m", "gradspike.compat", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=cwd, **options)


@pytest.fixture
def script(tmp_path):
    def write(text, name="script.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


CASES = {
    "Yin-Yang, surrogate gradient": ["yin_yang.py"],
    "Yin-Yang, EventProp": ["yin_yang.py", "--event-prop"],
    "sine targets": ["sine_targets.py"],
    "partitioned": ["partitioned.py"],
    "calibrated neurons": ["calibrated_neurons.py"],
}


@pytest.mark.parametrize("mock", [True, False], ids=["mock", "hardware"])
@pytest.mark.parametrize("case", CASES)
def test_scripts_run_unmodified(case, mock, tmp_path):
    """In simulation and on the emulator; they assert what they learned."""
    name, *arguments = CASES[case]
    result = run(SCRIPTS / name, *arguments, *(["--mock"] if mock else []), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert ("no backend is named, the network runs on the emulator" in result.stderr) == (not mock)
    assert result.stdout.strip()


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.py")), ids=lambda path: path.name)
def test_scripts_name_hxtorch_alone(path):
    assert "gradspike" not in path.read_text()


def test_a_script_is_main(script):
    path = script(
        "import sys, helper, hxtorch.spiking\n"
        "print(__name__, __file__, sys.argv, sys.path[0], helper.value)\n"
        "print(sys.modules['__main__'].__dict__ is globals())\n"
        "print(__builtins__.__name__, __spec__, __package__)\n"
    )
    script("value = 7\n", "helper.py")
    result = run(path, "--option", "-m", "x", cwd="/")
    expected = f"__main__ {path} {[str(path), '--option', '-m', 'x']} {path.parent} 7\nTrue\nbuiltins None None\n"
    assert result.stdout == expected, result.stderr
    plain = subprocess.run(
        [sys.executable, str(script("import sys; print(sys.path[0])", "plain.py"))], capture_output=True, text=True
    )
    assert plain.stdout.strip() == str(path.parent)


@pytest.mark.parametrize(
    "text, code, error",
    [
        ("import sys; sys.exit(7)", 7, ""),
        ("raise SystemExit", 0, ""),
        ("raise SystemExit('stopped')", 1, "stopped\n"),
        ("print(3)", 0, ""),
        ("import atexit; atexit.register(print, 'end'); print(3)", 0, ""),
    ],
)
def test_exit_codes(script, text, code, error):
    path = script(text)
    result, plain = run(path), subprocess.run([sys.executable, str(path)], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (code, error) == (plain.returncode, plain.stderr)
    assert result.stdout == plain.stdout


@pytest.mark.parametrize(
    "text", ["def f():\n    return 1 / 0\n\n\nf()\n", "x = = 1\n", "import nothing_of_this_name\n"]
)
def test_errors_look_as_those_of_python(script, text):
    path = script(text)
    result, plain = run(path), subprocess.run([sys.executable, str(path)], capture_output=True, text=True)
    assert result.returncode == plain.returncode == 1
    assert result.stderr == plain.stderr


def test_excepthook_of_the_script_is_called(script):
    result = run(script("import sys\nsys.excepthook = lambda *x: print('hook', x[0].__name__)\n1 / 0\n"))
    assert (result.returncode, result.stdout, result.stderr) == (1, "hook ZeroDivisionError\n", "")


def test_modules_packages_and_code(script, tmp_path):
    script("import sys, hxtorch\nprint(__name__, sys.argv[1:], sys.path[0])\n", "package/module.py")
    script("import sys, hxtorch\nprint(__name__, sys.argv[1:])\n", "package/__main__.py")
    result = run("-m", "package.module", "a", "-b", cwd=tmp_path)
    assert result.stdout == f"__main__ ['a', '-b'] {tmp_path}\n", result.stderr
    assert run("-m", "package", "a", cwd=tmp_path).stdout == "__main__ ['a']\n"
    assert run("package", "a", cwd=tmp_path).stdout == "__main__ ['a']\n"
    code = "import sys, hxtorch; print(__name__, sys.argv, repr(sys.path[0]))"
    assert run("-c", code, "a", "--list").stdout == "__main__ ['-c', 'a', '--list'] ''\n"
    assert run("-m", "no_such_module").returncode == 1


def test_options(capsys):
    assert main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert "hxtorch.spiking.handle" in listed and "pylogging" in listed
    assert main(["--help"]) == 0 and capsys.readouterr().out.startswith("usage:")
    for wrong in ([], ["--other", "x.py"], ["-m"], ["-c"]):
        assert main(wrong) == 2 and "usage:" in capsys.readouterr().err, wrong
    result = run("no_such_script.py")
    assert result.returncode == 2 and "can't open file 'no_such_script.py'" in result.stderr


def test_the_real_package_is_taken_unless_forced(script):
    path = script("import hxtorch\nprint(hxtorch.__version__)\n")
    script("__version__ = 'real'\n", "hxtorch/__init__.py")
    environment = {**__import__("os").environ}
    environment["PYTHONPATH"] = f"{path.parent}:{environment.get('PYTHONPATH', '')}"
    result = run(path, env=environment)
    assert result.stdout == "real\n" and "hxtorch itself can be imported and is used" in result.stderr
    result = run("--force", path, env=environment)
    assert result.stdout.startswith("gradspike ") and result.stderr == ""


def test_safe_path_is_respected(script):
    path = script("import sys; print(sys.path[0])")
    folder = str(path.parent)
    assert run(path, interpreter=["-P"]).stdout.strip() != folder
