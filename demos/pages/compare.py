def build(subject, folder):
    pass
