"""The demo: a page to click on, and the HTTP interface behind it.

Read app, replies, pictures, questions, answers, worker, guards.
"""
