"""A family outside modelyard for the service's tests: choices, bounds, an alias, a secret field,
reasons."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from modelyard.errors import BadData
from modelyard.family import Entry
from modelyard.host import Explanation
from tests.toy.family import LineConfig, LineFamily, LineHost


class Payment(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    amount: float = Field(ge=0, le=1e30, description="Euros", examples=[12.5])
    country: Literal["DE", "FR", "IT"] = "DE"
    card: str = Field(default="", max_length=19, description="Card number")
    card_country: str | None = Field(default=None, alias="card country")


class Risk(BaseModel):
    risk_score: float = Field(serialization_alias="risk score")


class PaymentHost(LineHost):
    Request, Response = Payment, Risk
    sensitive = frozenset({"card", "card_country"})

    def predict(self, run, requests):
        for request in requests:
            if request.amount == 13:
                raise BadData("13 is refused", column="amount")
            if request.amount == 77777.25:
                raise RuntimeError("a bug")
        import numpy as np

        x = np.array([[request.amount] for request in requests], np.float32)
        return [Risk(risk_score=float(y)) for y in run("line", {"x": x})["y"][:, 0]]

    def describe(self, request, response):
        return {
            "amount": request.amount,
            "country": request.country,
            "card": request.card,
            "card country": request.card_country,
            "risk": response.risk_score,
        }

    def explain(self, run, request):
        return Explanation(
            method="line", output="risk", base=1.0, contributions={"amount": 2 * request.amount}
        )


class PaymentsFamily(LineFamily):
    def requests(self, features, split, limit=None):
        bodies = super().requests(features, split, limit)
        return [
            {"amount": abs(body["x"]), "country": "FR", "card": "4111", "card country": "FR"}
            for body in bodies
        ]

    def evaluate(self, host, run, features, split="test"):
        return super().evaluate(LineHost(host.assets), run, features, split)


Payments = Entry("risk of a payment <b>", LineConfig, build=PaymentsFamily, host=PaymentHost)
