"""Pages of the web as inputs: the engines website, screenshot and screenshot_pdf, by a headless Chromium."""
