"""Settings of the command line."""

#: VPCs and internet gateways per region of an account, including the default VPC; 0 for no limit.
vpc_quota: int = 5
#: Address of every cache node, for a real server; empty for an address like those of AWS.
cache_host: str = ""
