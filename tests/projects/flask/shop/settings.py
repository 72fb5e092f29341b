"""Settings."""

import os


class Config:
    """What the application is configured by."""

    SQLALCHEMY_DATABASE_URI = os.environ.get("SHOP_DATABASE_URL") or "sqlite:////nowhere/shop.db"
