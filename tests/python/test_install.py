"""What `make install`, `make deb` and the container recipe put where, and that what is installed works there."""
import json
import os
import re
import shutil
import subprocess

import pytest
from conftest import ROOT
from server_fixture import server  # noqa: F401 (a fixture)

COMPLETION = "usr/share/bash-completion/completions/lancet"


def shell(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, timeout=300, **options)
    assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


@pytest.fixture(scope="module")
def build(lancet):
    folder = lancet.binary.resolve().parent
    if not (folder / "cmake_install.cmake").exists():
        pytest.skip(f"DID NOT RUN: {folder} is no build folder")
    return folder


@pytest.fixture(scope="module")
def installed(build, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    shell("cmake", "--install", build, "--prefix", "/usr", env=os.environ | {"DESTDIR": str(root)})
    return root


def needs(program):
    if not shutil.which(program):
        pytest.skip(f"DID NOT RUN: {program} is not installed")
    return program


def test_the_installed_program_runs(installed):
    assert shell(installed / "usr/bin/lancet", "--version").startswith("lancet ")


def test_the_unit_names_the_installed_program(installed):
    unit = (installed / "usr/lib/systemd/system/lancet.service").read_text()
    assert "ExecStart=/usr/bin/lancet serve " in unit and "/usr/local" not in unit


def test_the_manual_page_has_every_command_and_no_warning(installed, lancet):
    page = installed / "usr/share/man/man1/lancet.1"
    text = page.read_text()
    for command in re.findall(r"^  (\w+)  ", lancet.text("--help").split("Subcommands:")[1], re.M):
        assert f".SS lancet {command}\n" in text
    assert set(re.findall(r"--[a-z][a-z-]*", lancet.text("serve", "--help"))) - {"--help"} <= set(
        re.findall(r"--[a-z][a-z-]*", text.replace("\\-", "-")))
    done = subprocess.run([needs("groff"), "-ww", "-man", "-Tutf8", page], capture_output=True, check=True)
    assert done.stderr == b"" and b"lancet serve" in done.stdout


def complete(installed, *words):
    """What bash offers for the last word."""
    script = (f'source {installed / COMPLETION}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _lancet; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    return set(shell("bash", "-c", script, "bash", *words, cwd=installed).split())


def test_bash_completes_commands_flags_words_and_files(installed):
    assert {"chat", "serve", "score"} <= complete(installed, "lancet", "")
    assert complete(installed, "lancet", "tok") == {"tokenize"}
    assert complete(installed, "lancet", "serve", "--po") == {"--port"}
    assert complete(installed, "lancet", "serve", "--kv", "") == {"f16", "q8"}
    assert complete(installed, "lancet", "generate", "-m", "us") == {"usr"}


def test_zsh_takes_its_completions(installed):
    shell(needs("zsh"), "-n", installed / "usr/share/zsh/site-functions/_lancet")


def test_fish_completes_commands_flags_and_words(installed):
    script = f"source {installed}/usr/share/fish/vendor_completions.d/lancet.fish; complete -C $argv[1]"

    def offers(line):
        return {offer.split("\t")[0] for offer in shell(needs("fish"), "-c", script, line).splitlines()}

    assert {"chat", "serve"} <= offers("lancet ")
    assert offers("lancet serve --kv ") == {"f16", "q8"}
    assert "--port" in offers("lancet serve --po")


@pytest.mark.skipif("LANCET_SLOW_BINARY" in os.environ, reason="DID NOT RUN: a sanitizer's build wants other libraries")
def test_the_package_has_its_dependencies_and_what_it_holds_works(build, tmp_path):
    needs("dpkg-shlibdeps")
    package = shell(ROOT / "tools" / "deb.sh", build, "as it is built", env=os.environ | {"DPKG_DEB_COMPRESSOR_TYPE": "none"}).strip()
    depends = shell("dpkg-deb", "-f", package, "Depends")
    shell("dpkg-deb", "-x", package, tmp_path)
    assert shell(tmp_path / "usr/bin/lancet", "--version").startswith("lancet ")
    for file in ("lib/systemd/system/lancet.service", "etc/default/lancet", "usr/share/man/man1/lancet.1.gz", COMPLETION,
                 "usr/share/doc/lancet/copyright", "usr/share/doc/lancet/changelog.gz", "usr/share/doc/lancet/operations.md"):
        assert (tmp_path / file).is_file(), file
    # The container's second stage installs the same libraries by name.
    recipe = (ROOT / "Containerfile").read_text()
    of_the_compiler = {"libc6", "libgcc-s1", "libstdc++6"}
    for library in set(re.findall(r"(lib[\w.+-]+)", depends)) - of_the_compiler:
        assert f" {library} " in recipe, library


def test_the_containers_health_check_tells_ready_from_not(server):  # noqa: F811
    command = json.loads(re.search(r"^HEALTHCHECK .*CMD (.*)$", (ROOT / "Containerfile").read_text(), re.M)[1])
    command[-1] = command[-1].replace("8111", str(server.port))
    assert subprocess.run(command, check=False, timeout=30).returncode == 0
    command[-1] = command[-1].replace("/readyz", "/nothing")
    assert subprocess.run(command, check=False, timeout=30).returncode != 0
