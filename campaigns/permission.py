"""Who may be written to: consent and opt-outs by class of message."""

from django.conf import settings
from django.db.models import Q

from campaigns.documents import CampaignDoc
from leads.models import Consent, ContactPoint, Identity, Lead, hash_address


def contact_point_of(lead: Lead) -> ContactPoint | None:
    """Where suppression and consent of the lead's address live; None when nothing was ever said about it."""
    return ContactPoint.objects.filter(address_hash=hash_address(lead.email)).first() if lead.email else None


def word_on(contact_point: ContactPoint | None, topic: str | None) -> Consent | None:
    """The consent that decides about a topic, None when nobody said anything.

    The newest word on the topic counts. A newer "no" to all marketing overrides it; a "yes" to all
    marketing only takes such a no back, it agrees to no topic.
    """
    if contact_point is None:
        return None
    own = newest(contact_point, Q(topic__key=topic)) if topic else None
    general = newest(contact_point, Q(topic=None))
    if general and general.status == Consent.Status.DENIED and (own is None or (general.at, general.pk) > (own.at, own.pk)):
        return general
    return own


def newest(contact_point: ContactPoint, about: Q) -> Consent | None:
    """The newest consent of an address about something."""
    return Consent.objects.filter(about, contact_point=contact_point).order_by("-at", "-pk").first()


def not_permitted(doc: CampaignDoc, lead: Lead, contact_point: ContactPoint | None) -> str:
    """Why a campaign may not write to a lead: `opted_out`, `no_user_id`, `no_consent`; "" when it may.

    Marketing needs a granted topic (with MARKETING_CONSENT=opt_out only the absence of a no), product a
    user id and no opt-out; transactional ignores both. Suppression is another question, asked of all.
    """
    if doc.class_ == "transactional":
        return ""
    word = word_on(contact_point, doc.topic)
    if word and word.status == Consent.Status.DENIED:
        return "opted_out"
    if doc.class_ == "product":
        return "" if Identity.objects.filter(lead=lead, kind=Identity.Kind.USER_ID).exists() else "no_user_id"
    return "" if word or settings.MARKETING_CONSENT == "opt_out" else "no_consent"
