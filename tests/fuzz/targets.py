"""All targets, in the order in which they are run."""

from tests.fuzz import (
    answers,
    askers,
    balancers,
    bounces,
    certificates,
    chunks,
    credentials,
    device_credentials,
    discovery,
    documents,
    envoy,
    heads,
    logins,
    notices,
    places,
    queries,
    reports,
    signatures,
    streams,
    submission,
    usual,
)
from tests.fuzz.judging import Target

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        heads.TARGET,
        usual.TARGET,
        usual.ANSWERS,
        streams.TARGET,
        chunks.TARGET,
        answers.TARGET,
        documents.TARGET,
        queries.TARGET,
        credentials.TARGET,
        device_credentials.TARGET,
        discovery.TARGET,
        places.TARGET,
        reports.TARGET,
        signatures.TARGET,
        logins.IMAP,
        logins.POP3,
        submission.TARGET,
        askers.POSTFIX,
        askers.DOVECOT,
        askers.SPOP,
        askers.ASKERS,
        envoy.TARGET,
        notices.TARGET,
        balancers.TARGET,
        certificates.TARGET,
        bounces.TARGET,
    )
}
