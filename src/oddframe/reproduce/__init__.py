"""`oddframe reproduce`: the tables of the papers, and ours, by one command each.

tables -> plan -> jobs, a process each -> results/TABLE/RUN.json -> Markdown and pictures
"""
