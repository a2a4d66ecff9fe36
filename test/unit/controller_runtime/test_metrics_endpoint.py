import pytest

from controller_runtime.errors import ServiceUnavailable
from controller_runtime.manager.http_server import HttpRequest
from controller_runtime.manager.metrics_endpoint import AccessReviewer, metrics_handler
from controller_runtime.metrics.registry import ControllerMetrics, new_registry
from controller_runtime.resources import SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS
from test.support.fake_clock import FakeClock


class Reviews:
    """The API server's side of TokenReview and SubjectAccessReview."""

    def __init__(self):
        self.tokens = {"good": {"username": "prometheus", "uid": "u1", "groups": ["scrapers"], "extra": {"k": ["v"]}}}
        self.allowed = True
        self.seen = []
        self.down = False

    def create(self, resource, obj, namespace=None, *, dry_run=False):
        if self.down:
            raise ServiceUnavailable("down", code=503)
        self.seen.append((resource.kind, obj["spec"]))
        if resource is TOKEN_REVIEWS:
            user = self.tokens.get(obj["spec"]["token"])
            return obj | {"status": {"authenticated": user is not None} | ({"user": user} if user else {})}
        assert resource is SUBJECT_ACCESS_REVIEWS
        return obj | {"status": {"allowed": self.allowed}}

    def count(self, kind):
        return sum(1 for seen, _ in self.seen if seen == kind)


@pytest.fixture
def reviews():
    return Reviews()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def scrape(reviews, clock):
    registry = new_registry(process=False)
    ControllerMetrics(registry).leader.labels("x").set(1)
    handler = metrics_handler(registry, AccessReviewer(reviews, clock))

    def ask(authorization=None, path="/metrics"):
        return handler(HttpRequest(path, {}, {"Authorization": authorization} if authorization else {}))

    return ask


def test_without_authorisation_switched_on_everybody_may_scrape():
    registry = new_registry(process=False)
    reply = metrics_handler(registry, None)(HttpRequest("/metrics"))

    assert reply.status == 200
    assert reply.content_type.startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize("header", [None, "Basic Z29vZA==", "Bearer ", "Bearer wrong"])
def test_no_token_or_a_bad_one_gives_401(scrape, header):
    assert scrape(header).status == 401


def test_a_good_token_without_the_right_gives_403(scrape, reviews):
    reviews.allowed = False

    assert scrape("Bearer good").status == 403


def test_a_good_token_with_the_right_gives_the_metrics(scrape, reviews):
    reply = scrape("Bearer good")

    assert reply.status == 200
    assert b'leader_election_master_status{name="x"} 1.0' in reply.body
    assert reviews.seen[1] == (
        "SubjectAccessReview",
        {
            "user": "prometheus",
            "uid": "u1",
            "groups": ["scrapers"],
            "extra": {"k": ["v"]},
            "nonResourceAttributes": {"path": "/metrics", "verb": "get"},
        },
    )


def test_trouble_asking_gives_500_and_not_the_metrics(scrape, reviews):
    reviews.down = True

    assert scrape("Bearer good").status == 500


def test_a_token_is_reviewed_once_a_minute_and_the_right_once_in_five(scrape, reviews, clock):
    for _ in range(10):
        assert scrape("Bearer good").status == 200
    assert (reviews.count("TokenReview"), reviews.count("SubjectAccessReview")) == (1, 1)
    clock.advance(61)
    scrape("Bearer good")
    assert (reviews.count("TokenReview"), reviews.count("SubjectAccessReview")) == (2, 1)
    clock.advance(300)
    scrape("Bearer good")
    assert (reviews.count("TokenReview"), reviews.count("SubjectAccessReview")) == (3, 2)


def test_a_denial_is_asked_again_after_30_seconds_so_that_new_rbac_works_soon(scrape, reviews, clock):
    reviews.allowed = False
    scrape("Bearer good")
    reviews.allowed = True
    assert scrape("Bearer good").status == 403
    clock.advance(31)

    assert scrape("Bearer good").status == 200


def test_a_token_that_was_revoked_is_refused_within_a_minute(scrape, reviews, clock):
    scrape("Bearer good")
    reviews.tokens.clear()
    clock.advance(61)

    assert scrape("Bearer good").status == 401


def test_a_bad_token_is_never_remembered_as_good_or_bad(scrape, reviews):
    scrape("Bearer later")
    reviews.tokens["later"] = {"username": "late"}

    assert scrape("Bearer later").status == 200


def test_another_path_is_not_found(scrape):
    assert scrape("Bearer good", "/").status == 404
