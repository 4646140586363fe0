"""Finds out whether vLLM is installed, and which release, without importing it."""

from importlib.metadata import packages_distributions
from importlib.metadata import version as version_of

from curation.config.models import VLLM_VERSION
from curation.errors import InputError

_OTHERWISE = (
    "make an environment for it (pip install 'ray[data]==2.60.0' "
    f"'vllm[audio]=={VLLM_VERSION}') and name it as captioner.runtime_env, such as "
    "{py_executable: /opt/vllm/bin/python}"
)
# Of what loads models in its own process.
IN_PROCESS_HINT = (
    "a run captions in captioner.runtime_env, but the estimate of tagscribe plan and tagscribe "
    "models check load vLLM themselves: start them in an environment that has it, or go without "
    "(tagscribe plan --sample 0)"
)


def installed_vllm_version() -> str | None:
    """Return the release of vLLM that this process can import, under any package name."""
    packages = packages_distributions().get("vllm", [])
    return version_of(packages[0]) if packages else None


def require_vllm_version(
    found: str | None, wanted: str, where: str, otherwise: str = _OTHERWISE
) -> None:
    """Raise InputError unless the installed release of vLLM is the required one.

    Args:
        found: the installed release; None if vLLM is not installed.
        wanted: the required release, `captioner.version`.
        where: the environment, for the message.
        otherwise: the remedy if vLLM is not installed.
    """
    if found is None:
        raise InputError(
            f"vLLM is not installed {where}; expected release {wanted} there: {otherwise}"
        )
    release = found.partition("+")[0]
    if release != wanted:
        raise InputError(
            f"vLLM {found} is installed {where}, but captioner.version is {wanted}; install that, "
            f"or set version: {release}"
        )
