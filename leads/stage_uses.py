"""Why a stage can't go: who stands in it, what tells of it, what leads to it."""

from django.db.models import Q

from leads.models import Gate, Lead, Reason, Stage, Transition


def why_it_stays(stage: Stage) -> str:
    """The sentence with the cure; "" when nothing needs the stage."""
    if leads := Lead.objects.filter(stage=stage).count():
        verb = "lead stands" if leads == 1 else "leads stand"
        return f"{stage} can't be deleted: {leads:,} {verb} in it. Move them to another stage first."
    if stage.key == Lead._meta.get_field("stage").default:
        return f"{stage} can't be deleted: new leads begin in it. Give it another name instead."
    if gates := [str(gate) for gate in Gate.objects.filter(Q(to=stage) | Q(from_stages=stage)).distinct()]:
        return f"{stage} can't be deleted: gates lead to or from it ({', '.join(gates)}). Change them first."
    if reasons := [str(reason) for reason in Reason.objects.filter(recycle_to=stage)]:
        return f"{stage} can't be deleted: leads go back to it after {', '.join(reasons)}. Change that first."
    if Transition.objects.filter(Q(from_stage=stage) | Q(to_stage=stage)).exists():
        return f"{stage} can't be deleted: past moves tell of it. Keep it; its name may change."
    return ""
