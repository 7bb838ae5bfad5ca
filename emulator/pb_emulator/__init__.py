"""A local AWS endpoint that refuses what AWS refuses and takes its time as AWS does.

The wire formats and the simple resources come from moto.  This package adds the rules, the states and the
timing that a deployer meets on AWS: dependencies, provisioning, rollouts and lingering network interfaces.
"""

__version__ = "0.1.0"
