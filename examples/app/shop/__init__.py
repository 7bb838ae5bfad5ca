"""An example of what pb-deploy deploys: a Flask application that gives its work to Celery."""
