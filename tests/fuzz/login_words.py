"""Fuzzes the servers' words in a login: an answer to each challenge, or SaslError."""

from asyncnet.smtp.errors import SaslError
from asyncnet.smtp.oauth import OAuthBearer, XOAuth2
from asyncnet.smtp.sasl import CramMd5, Login, Plain
from asyncnet.smtp.scram import ScramSha256
from tests.fuzz import engine

SEEDS = [
    b"r=n0nceXYZ,s=c2FsdA==,i=4096\nv=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    b"r=n0nceXYZ,s=c2FsdA==,i=4096\ne=invalid-proof",
    b'{"status":"invalid_token","scope":"mail"}',
    b"<1896.697170952@postoffice.example.test>",
    b"Username:\nPassword:",
]


def read(octets: bytes) -> None:
    """One challenge a line, to each mechanism."""
    for way in (
        ScramSha256("anna", "sesame", "n0nce"),
        OAuthBearer("anna", "t0ken", "mx.example.test", 587),
        XOAuth2("anna", "t0ken"),
        CramMd5("anna", "sesame"),
        Login("anna", "sesame"),
        Plain("anna", "sesame"),
    ):
        try:
            for challenge in octets.split(b"\n")[:5]:
                way.respond(challenge)
        except SaslError:
            pass
        assert way.reason.isprintable()
        assert not (isinstance(way, ScramSha256) and way.proven)


if __name__ == "__main__":
    engine.main(read, SEEDS)
