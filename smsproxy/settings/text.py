"""[text]: bounds on the segmentation of messages. Who reads it: app.py, for pipeline and links."""

from __future__ import annotations

from pydantic import Field

from smsproxy.settings.fields import Section


class TextSettings(Section):
    """[text]"""

    max_segments: int = Field(
        10, ge=1, le=255, description="Most segments of a message; a concatenation header counts to 255."
    )
