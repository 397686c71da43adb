"""What the person is told by the call page's script; translated here, so that no sentence stands in JavaScript."""

from collections.abc import Mapping

from video_server.web.i18n import gettext as _

UNBROKEN = "\u2011"  # a hyphen at which no line ends: a reference is read aloud in one piece


def officer(name: str, collar_number: str) -> dict[str, str]:
    """Return an officer's name, and the whole as it is said ("PC Smith, collar number 1234")."""
    if not name:
        return {"name": _("The officer"), "full": _("The officer")}
    full = _("%(name)s, collar number %(number)s") % {"name": name, "number": collar_number}
    return {"name": name, "full": full if collar_number else name}


def after(officer_name: str) -> dict[str, str]:
    """Return what happens next by the outcome of the call, in words for the person; "" when none is known."""
    named = {"name": officer_name}
    return {
        "": _("We will tell you what happens next. You need not do anything now."),
        "seen": _("%(name)s now works on what you said. You will be told when there is news.") % named,
        "rebook": _("We will offer you another time. You need not do anything now."),
        "no_answer": _("We could not see you this time. We will offer you another time."),
        "officer_to_attend": _("An officer will come to see you in person."),
        "withdrew": _("You told us that you do not want to go on. You may change your mind at any time."),
        "technical": _("Sound or picture did not work well enough. We will find another way to see you."),
    }


def waiting(said: Mapping[str, str]) -> dict[str, str]:
    """Return what a person who waits is told of the officer, present or not; `said` as `officer()` returns it."""
    knows = _("%(full)s, knows you are here.") if said["full"] != said["name"] else _("%(full)s knows you are here.")
    away = _("%(name)s is not at the screen yet and will see that you are here. Please stay.")
    return {"officer_knows": knows % said, "officer_away": away % said}


def call_page(said: Mapping[str, str], *, phone: str, reference: str) -> dict[str, str]:
    """Return the sentences of the call page's script by their names there.

    said   the officer, as `officer()` returns it
    """
    named = {"name": said["name"], "full": said["full"], "phone": phone, "reference": reference.replace("-", UNBROKEN)}
    return {
        "telling": _("We are telling %(name)s that you are ready.") % named,
        "since": _("You have been waiting since {time}."),
        "title_check": _("Check your camera and microphone"),
        "title_waiting": _("Waiting"),
        "title_call": _("Call"),
        "title_ended": _("The call has ended"),
        "asking": _("Starting your camera and microphone. If your phone asks, choose “Allow”."),
        "picture_own": _("This is your own camera. We are testing whether the picture reaches us."),
        "picture_ok": _("Your picture reaches us. It has been to us and back."),
        "picture_size": _("Your picture reaches us, {width} by {height} dots. It has been to us and back."),
        "picture_off": _("Your camera is off. You go on with sound only."),
        "network_testing": _("Testing your connection"),
        "network_ok": _("Your connection works."),
        "network_good": _("Your connection is good."),
        "network_fair": _("Your connection is fair. It is enough for a video call."),
        "network_weak": _("Your connection is weak. If you can, move to where the signal is better, or use WiFi."),
        "network_poor": _("Your connection is very weak. If you can, move to where the signal is better, or use WiFi."),
        "sound_none": _("We cannot hear you yet. Say a few words."),
        "sound_ok": _("We can hear you."),
        "use_other": _("Use another camera"),
        "use_back": _("Use the back camera"),
        "use_front": _("Use the front camera"),
        "copied": _("Copied. Now paste it into Safari or Chrome."),
        "mute": _("Mute"),
        "unmute": _("Unmute"),
        "camera_off": _("Camera off"),
        "camera_on": _("Camera on"),
        "you_are_muted": _("You are muted. %(name)s cannot hear you.") % named,
        "connecting": _("Connecting you to %(name)s") % named,
        "lost": _("We lost the connection. Stay here, it comes back by itself."),
        "crowded": _(
            "This page was opened too many times in a short time. Close its other copies and keep this one open: it "
            "tries again by itself."
        ),
        "lost_long": _("Still no connection. Stay here, or move to where the signal is better."),
        "ring": _("If it does not come back, ring us on %(phone)s and say %(reference)s.") % named,
        "officer_lost": _("We lost the picture. Stay here, it comes back by itself."),
        "officer_gone": _("%(name)s is away from the screen. Stay here.") % named,
        "back": _("The connection is back."),
        "pictureOf": _("Picture of {name}"),
        "screenOf": _("What {name} shows"),
        "pictureOff": _("{name} has the camera off."),
        "pictureNone": _("No picture of {name} comes at the moment."),
        "pictureNoneShort": _("No picture"),
        "mutedOf": _("{name} is muted."),
        "soundOnlyOf": _("{name} has sound only."),
        "pictureOffShort": _("Camera off"),
        "lost_now": _("Connection lost"),
        "mutedOfShort": _("Muted"),
        "soundOnlyOfShort": _("Sound only"),
        "sound_only": _("Sound only"),
        "with_picture": _("Pictures on again"),
        "you_have_sound_only": _("Sound only: you see nobody and nobody sees you."),
        "share": _("Show photos"),
        "share_stop": _("Stop showing"),
        "you_share": _("%(name)s sees what you show.") % named,
        "share_problem": _("Nothing is shown: no window was chosen."),
        "share_taken": _("Somebody else is showing something. Try again when they have finished."),
        "photo_n": _("Photo {n} of {count}. It is shown now, and not kept."),
        "photo_problem": _("This photo cannot be shown. Choose another one."),
        "float": _("Picture in a small window"),
        "signal_good": _("Connection: good"),
        "signal_fair": _("Connection: fair"),
        "signal_weak": _("Connection: weak"),
        "signal_poor": _("Connection: very weak"),
        "signal_none": _("Connection: lost"),
        "rung_no_picture": _(
            "Your connection is weak, so no picture is sent to you for now. You hear us, and we see and hear you."
        ),
        "rung_sound_only": _("Your connection is weak, so we have turned the picture off. We can still hear you."),
        "rung_ring": _(
            "Your connection is too weak for a call. We will ring you. "
            "If we do not, ring us on %(phone)s and say %(reference)s."
        )
        % named,
        "rung_up": _("Your connection is better. The picture is back."),
        "interrupted": _("A phone call or another app is using your microphone. We cannot hear you until it ends."),
        "camera_taken": _("Another app is using your camera. We can still hear you."),
        "headset_gone": _("{device} is gone. Sound now uses your phone."),
        "headset_came": _("{device} is connected. Sound uses it now."),
        "speaker_n": _("Loudspeaker {n}"),
        "device_lost": _("Your camera or microphone has stopped. Select “Turn on again”."),
        "device_problem": _("The camera could not be started. The call goes on with sound."),
        "cannot_join": _("This page is no longer in use. Open the link in your text message again."),
    }
