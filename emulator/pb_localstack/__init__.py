"""LocalStack's open edition, extended by the services that it lacks: its moto serves them with the rules of
pb_emulator.
"""
