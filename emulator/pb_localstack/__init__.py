"""LocalStack's open edition with the services that it lacks, served by its moto with the rules of pb_emulator."""
