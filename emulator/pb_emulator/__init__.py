"""A local AWS endpoint that refuses what AWS refuses, and takes time where AWS takes time.

The wire formats and the simple resources come from moto. This package adds the rules, states and timings that a
deployer meets on AWS: dependencies, provisioning, rollouts and lingering network interfaces.
"""

__version__ = "0.1.0"
