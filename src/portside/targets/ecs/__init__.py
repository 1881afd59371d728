"""AWS ECS on Fargate on paper: as JSON for the command line, and as one CloudFormation template."""
