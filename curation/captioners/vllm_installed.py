"""Whether vLLM is installed, which release, and what to do about another; it is not imported."""

from importlib.metadata import packages_distributions
from importlib.metadata import version as version_of

from curation.errors import InputError
from curation.models.config import VLLM_VERSION


def version() -> str | None:
    """The release of vLLM that this process can import, by whatever name it is packaged."""
    packages = packages_distributions().get("vllm", [])
    return version_of(packages[0]) if packages else None


def need(found: str | None, wanted: str, where: str) -> None:
    """Raises InputError unless the release of vLLM that was found is the one wanted.

    Args:
        found: what `version` says of an environment.
        wanted: `captioner.version`.
        where: the environment, for the message.
    """
    if found is None:
        raise InputError(
            f"vLLM is not installed {where}; expected release {wanted}: make an environment for "
            f"it (pip install 'ray[data]==2.60.0' 'vllm[audio]=={VLLM_VERSION}') and name it as "
            "captioner.runtime_env, such as {py_executable: /opt/vllm/bin/python}"
        )
    if found.partition("+")[0] != wanted:
        raise InputError(
            f"vLLM {found} is installed {where}, but captioner.version is {wanted}; install that, "
            f"or set version: {found.partition('+')[0]}"
        )
