"""`portside settings`: data on stdout, talk on stderr, and nothing imported before it is needed."""

import json
import os
import subprocess
import sys
from pathlib import Path

KEY = bytes(range(32)).hex()


def run(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder of its own, with no setting of this machine's."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "SYSTEMROOT") if name in os.environ}
    command = [sys.executable, "-m", "portside", *arguments]
    return subprocess.run(
        command, cwd=cwd, env={**kept, **environ}, capture_output=True, text=True, timeout=60, check=False
    )


def test_show_prints_the_settings_in_force_as_data(tmp_path: Path) -> None:
    (tmp_path / "portside.toml").write_text("[serve]\nport = 4001\n", encoding="utf-8")
    done = run("settings", "show", "--json", cwd=tmp_path, ENCRYPTION_KEY=KEY)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["MCP_PORT"] == {"value": 4001, "origin": "portside.toml serve.port"}
    assert KEY not in done.stdout


def test_show_reads_the_file_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("[serve]\nport = 4002\n", encoding="utf-8")
    done = run("settings", "show", "--config", "other.toml", cwd=tmp_path)
    assert "other.toml serve.port" in done.stdout


def test_wrong_settings_are_told_on_stderr_with_exit_code_4(tmp_path: Path) -> None:
    done = run("settings", "show", cwd=tmp_path, MCP_PORT="x", JWT_SECERT="hunter2", ENCRYPTION_KEY="hunter2")
    assert (done.returncode, done.stdout) == (4, "")
    assert [name in done.stderr for name in ("MCP_PORT='x'", "JWT_SECERT", "ENCRYPTION_KEY")] == [True] * 3
    assert "hunter2" not in done.stderr


def test_document_prints_the_reference_or_the_example(tmp_path: Path) -> None:
    assert run("settings", "document", cwd=tmp_path).stdout.startswith("# Settings\n")
    assert "# MCP_PORT=3000\n" in run("settings", "document", "--env-example", cwd=tmp_path).stdout


def test_help_does_not_import_the_model(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from portside.cli.main import main\n"
        "for arguments in (['--help'], ['settings', '--help'], ['settings', 'show', '--help']):\n"
        "    main.main(arguments, standalone_mode=False)\n"
        "print([name for name in ('pydantic', 'portside.settings.model', 'uvicorn') if name in sys.modules])\n"
    )
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "SYSTEMROOT") if name in os.environ}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=kept, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
