"""Need a module that is not installed."""

import no_such_module_anywhere

revision: str = "f7"
down_revision: str = "f6_a_revision_id_longer_than_the_column_is"


def upgrade() -> None:
    no_such_module_anywhere.run()


def downgrade() -> None:
    pass
