"""An example application for pb-deploy: Flask hands work to Celery."""
