"""Settings as applications keep them: read from the environment when imported."""

import os


class Settings:
    """The database's address, from its parts."""

    def __init__(self) -> None:
        self.user = os.environ["DB_USER"]
        self.password = os.environ.get("DB_PASSWORD", "")
        self.host = os.environ["DB_HOST"]
        self.port = int(os.environ["DB_PORT"])
        self.name = os.environ["DB_NAME"]

    @property
    def url(self) -> str:
        login = f"{self.user}:{self.password}"
        return f"postgresql+psycopg2://{login}@{self.host}:{self.port}/{self.name}"


settings = Settings()
