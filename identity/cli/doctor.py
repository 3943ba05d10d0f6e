"""`identity doctor`: is everything an installation stands on as it should be?"""

from __future__ import annotations

from typing import Annotated

import typer

from identity.administration.doctor.examination import examine, exit_code
from identity.administration.doctor.findings import Finding
from identity.administration.doctor.patient import Facts, Patient
from identity.cli.office import Office, work_in_office
from identity.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from identity.cli.output import print_json, print_rows
from identity.installed_keys import high_water, key_place
from identity.oauth.grants.sessions import Sessions
from identity.settings import Settings
from identity.store.redis.condition import RedisCondition
from identity.store.redis.publications import RedisPublications
from identity.store.redis.verifiers import RedisVerifiers
from identity.store.sql.condition import SqlCondition
from identity.wiring.parts import Stores, clocks_of


def doctor(
    fix: Annotated[
        bool, typer.Option("--fix", help="Put right what a running server would put right by itself.")
    ] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Look at keys, stores, clocks, sessions, servers and verifiers. Exit code 0: healthy; 1: something is left to do; 2: not
    everything could be looked at."""

    async def work(office: Office) -> list[Finding]:
        return await examine(patient_of(office.settings, office.stores, office.actor), fix)

    findings = work_in_office(data_dir, work)
    rows = [{"check": each.check, "verdict": each.verdict.value, "found": each.sentence} for each in findings]
    if as_json:
        print_json({"healthy": exit_code(findings) == 0, "findings": rows})
    else:
        print_rows(rows, ("check", "verdict", "found"), as_json)
    raise typer.Exit(exit_code(findings))


def patient_of(settings: Settings, stores: Stores, actor: str) -> Patient:
    """Returns an installation as the checks want it."""
    facts = Facts(
        is_production=settings.mode == "serve",
        has_passphrase=settings.keys_passphrase is not None,
        keeps_first_password=settings.bootstrap_admin_password is not None,
        key_lifetime=settings.key_lifetime,
        publication_seconds=settings.publication_seconds,
        folders={"keys": settings.keys_dir, "embedded stores": settings.data_dir},
        high_water=high_water(settings).seq,
        signing_algorithms=settings.signing_algorithms,
    )
    return Patient(
        facts=facts,
        keys=key_place(settings, stores.database),
        journal=stores.journal,
        stream=stores.stream,
        ledger=stores.ledger,
        sql=SqlCondition(stores.database),
        redis=RedisCondition(stores.redis),
        clocks=clocks_of(stores),
        families=stores.families,
        sessions=Sessions(stores.ledger, stores.families),
        publications=RedisPublications(stores.redis),
        verifiers=RedisVerifiers(stores.redis),
        actor=actor,
    )
