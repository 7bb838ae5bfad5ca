"""LocalStack's open edition with the services that it lacks, answered by the moto inside it under our strict rules."""
