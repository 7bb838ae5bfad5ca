"""Limits that the command line can change."""

#: VPCs and internet gateways an account has in a region, the default VPC counted; 0 for no limit.
vpc_quota: int = 5
#: The address of every cache node, for a server that really runs; empty for an address as AWS gives it.
cache_host: str = ""
