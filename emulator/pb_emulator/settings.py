"""Settings that the command line changes."""

#: Maximum number of VPCs, including the default VPC, and of internet gateways per account and region; 0 for no limit.
vpc_quota: int = 5
#: Address of a real server that is returned for every cache node; empty to return addresses like those of AWS.
cache_host: str = ""
