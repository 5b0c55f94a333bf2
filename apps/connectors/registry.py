"""The connector catalog: every folder of `catalog/`, read and checked when the hub starts."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import yaml

from apps.connectors.engine import manifest as manifests
from apps.connectors.engine.manifest import Manifest, ManifestError
from apps.connectors.engine.validation import Problem
from apps.kernel.registry import Registry

CATALOG = Path(__file__).parent / "catalog"


@dataclass(frozen=True)
class Connector:
    """A catalog entry: the facts about a provider, its icon (SVG) and how to set it up (Markdown)."""

    manifest: Manifest
    icon: str = ""
    setup: str = ""

    @property
    def name(self) -> str:
        return self.manifest.slug

    @property
    def search_text(self) -> str:
        """What a search in the catalog looks at, in lower case."""
        manifest = self.manifest
        parts = (manifest.title, manifest.summary, manifest.provider, manifest.type, *manifest.keywords)
        return " ".join(parts).lower()

    @property
    def icon_uri(self) -> str:
        """The icon for an `img`: scripts in it could not run."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.icon.encode()).decode()


@dataclass(frozen=True)
class Fault:
    """A folder of the catalog that could not be read."""

    folder: str
    message: str


connectors: Registry[Connector] = Registry("Connector")
faults: list[Fault] = []


def read(folder: Path) -> Connector:
    """One folder. Raises ManifestError, OSError or yaml.YAMLError."""
    document = yaml.safe_load((folder / "manifest.yaml").read_text(encoding="utf-8"))
    manifest = manifests.parse(document, f"{folder.name}/manifest.yaml")
    if manifest.slug != folder.name:
        raise ManifestError(
            f"{folder.name}/manifest.yaml",
            [Problem(("slug",), "invalid", f"must be the folder's name, “{folder.name}”.")],
        )
    return Connector(
        manifest,
        icon=(folder / "icon.svg").read_text(encoding="utf-8"),
        setup=(folder / "SETUP.md").read_text(encoding="utf-8"),
    )


def load(catalog: Path = CATALOG) -> None:
    """Register every folder; what is wrong goes to `faults`, for the system check to tell."""
    faults.clear()
    for folder in sorted(
        path for path in catalog.iterdir() if path.is_dir() and not path.name.startswith("_")
    ):
        try:
            connectors.register(read(folder))
        except (ManifestError, OSError, yaml.YAMLError, ValueError) as error:
            faults.append(Fault(folder.name, str(error)))
