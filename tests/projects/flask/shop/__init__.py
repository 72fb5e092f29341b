"""A shop, as an application of Flask's is laid out."""

from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()
migrate = Migrate()


class Coin(db.Model):
    """A coin."""

    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String(20), nullable=False)


def create_app() -> Flask:
    """Make the application."""
    app = Flask(__name__)
    app.config.from_object("shop.settings.Config")
    db.init_app(app)
    migrate.init_app(app, db)
    return app
