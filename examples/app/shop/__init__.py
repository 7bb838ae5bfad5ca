"""An example application for pb-deploy: a Flask web service that delegates work to Celery workers."""
